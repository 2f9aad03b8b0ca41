"""How good generated images are: a judge of identity, and a search for copies of training images."""
