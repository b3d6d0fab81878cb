"""One OSOR step: the maths, and the model that owns the weights."""
