"""Commands for people and pipelines; one module per command, imported only when it is called."""
