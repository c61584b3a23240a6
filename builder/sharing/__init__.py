"""A build cache that several machines share: written somewhere after a build, read from there before the next one."""
