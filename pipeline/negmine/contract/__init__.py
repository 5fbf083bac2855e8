"""What the stages and the trainer agree on: columns of tables, members of shards, folders of training runs."""
