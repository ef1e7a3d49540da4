module sump.example/sump

go 1.24
