"""`python -m cli` is `bird-salesforce`."""

from cli.main import main

if __name__ == "__main__":
    main()
