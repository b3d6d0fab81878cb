"""Reading and writing video; the only package that knows PyAV and decord."""
