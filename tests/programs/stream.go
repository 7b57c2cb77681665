// stream receive: print how many bytes a connection brought. stream send ADDRESS: 2,000,000 bytes.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	if os.Args[1] == "receive" {
		listener, err := net.Listen("tcp", ":7005")
		if err != nil {
			panic(err)
		}
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		count, err := io.Copy(io.Discard, connection)
		fmt.Println("received", count, err)
		return
	}
	connection, err := net.Dial("tcp", os.Args[2]+":7005")
	if err != nil {
		panic(err)
	}
	count, err := connection.Write(make([]byte, 2000000))
	fmt.Println("sent", count, err)
	connection.Close()
}
