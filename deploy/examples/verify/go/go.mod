module example.com/anchorwatch/verify

go 1.19
