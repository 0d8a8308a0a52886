"""What a network costs: counted, timed in turn with others, on which device."""
