"""What the program `rotate` is made of, and programs for those secrets of the box itself that more has to be done about."""
