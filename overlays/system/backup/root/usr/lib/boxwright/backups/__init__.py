"""What the program `backup` is made of."""
