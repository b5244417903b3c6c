"""Students: smaller models that start from a teacher's weights."""
