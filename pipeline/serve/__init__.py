"""One adapter behind HTTP: requests are bounded, batches are formed from what waits, a new adapter is taken without a stop."""
