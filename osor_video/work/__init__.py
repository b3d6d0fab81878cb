"""What a run writes down as it goes, so that one that was cut off goes on: identical bytes, minutes lost instead of hours."""
