"""miniprogram"""
