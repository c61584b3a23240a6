"""What each kind of step does: from the chain below it to one more layer."""
