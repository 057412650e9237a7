"""One file that holds a whole portal: its database as of one moment, and every file the database names."""
