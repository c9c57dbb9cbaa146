"""Pools of workers that train groups of runs, on this machine and on Ray clusters."""
