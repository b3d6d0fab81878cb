"""What the hole hides, read from the other frames of the shot."""
