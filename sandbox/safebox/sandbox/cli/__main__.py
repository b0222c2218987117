"""`python -m safebox.sandbox.cli` is `safebox`."""

from safebox.sandbox.cli import main

if __name__ == "__main__":
    main()
