"""Where a hub keeps sessions: store.py is the contract, and each engine has a file of its own."""
