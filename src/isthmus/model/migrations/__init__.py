"""Alembic's migrations: the database of each released schema can be brought to the newest."""
