# For hands that type make; the recipes are in ./do, which needs no make.
.PHONY: help demo test vm bench check setup
help demo test vm bench check setup:
	@./do $@
