"""What is made of a finished work folder, and changes nothing in it."""
