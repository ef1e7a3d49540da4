module {{name}}

go 1.24

require sump.example/sump v0.0.0

replace sump.example/sump => "{{sdk}}/go"
