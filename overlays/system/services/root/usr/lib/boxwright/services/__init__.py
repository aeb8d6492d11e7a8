"""What the program `service` is made of."""
