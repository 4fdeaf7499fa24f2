"""Workflows: steps done by agents, in an order, with what is to happen when one fails."""
