"""hashcore"""
