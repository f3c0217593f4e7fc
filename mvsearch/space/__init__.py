"""Search spaces: architectures with open values, their size, costs, samples and exact front."""
