"""What a network is: rows, shapes, cost and the published models. No torch."""
