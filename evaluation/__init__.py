"""How good generated pictures are: a judge of identity, and a search for copies of training pictures."""
