#!/bin/sh
echo "a document came in"
