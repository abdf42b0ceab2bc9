"""One job, from a call's options to its answers: what is prepared, announced and run, whatever the rows are in."""
