"""The archives: months of the log whose tasks have all finished, in files that the seals still prove."""
