"""Storage of the ledger: Parquet files on a disk or in an object store."""
