"""What `a2v_report` shows: reading, tables, pictures, and the page they stand on."""
