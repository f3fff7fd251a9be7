"""Turn pages into the site, the ledger and the downloads."""
