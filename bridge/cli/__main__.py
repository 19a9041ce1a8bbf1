"""`python -m bridge.cli`: the same as the command `bridge`."""

from bridge.cli.main import main

if __name__ == "__main__":
    main()
