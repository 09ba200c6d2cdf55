"""MLPerf's compliance tests: runs that LoadGen samples, and the files that prove their outcome."""
