"""How sure a comparison is: the bootstrap over seeds and patients, and the verdict of one arm against another."""
