"""Virtual-time engines behind the router of serving: what a fleet would do, in seconds of one CPU core."""
