"""One module a provider: our request in, our answer or our error out. Nothing of a provider's SDK leaves
this room."""
