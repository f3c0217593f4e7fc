"""What a network costs on a device: latency, memory, and second opinions on its MACs."""
