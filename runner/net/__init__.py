"""The kernel's networks: links and addresses by rtnetlink, rules by nft, a netns of a process wired to bridges."""
