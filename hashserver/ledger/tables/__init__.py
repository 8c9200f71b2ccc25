"""The SQL on the ledger: one module for each table, with a function for each question.

Functions take a connection, which is in a transaction if they write, and raise `sqlite3.Error`;
`Ledger.reading` and `Ledger.transaction` turn that into a `LedgerError`. Periods are ranges of
hours, days or months since 1970, UTC; a `party` of None means all parties.
"""
