"""Detection mathematics on tensors: priors, coding, assignment, losses, decoding, suppression."""
