"""Read a page, its math and the files around it."""
