"""`python -m audiolib` is the command line."""

from audiolib.cli import main

if __name__ == "__main__":
    main(prog_name="audiolib")
