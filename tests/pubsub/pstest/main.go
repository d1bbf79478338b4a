// Google's own fake of Pub/Sub, for the conformance suite, as a program:
//
//	pstest 127.0.0.1:8086
//
// pstest.NewServer picks a port by itself and ends with the first panic in a handler. Its service is
// registered on a gRPC server of our own here, with a fixed port and an interceptor that turns a
// panic (ModifyAckDeadline with an id that it does not know is one) into an error of that call.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"cloud.google.com/go/pubsub/pstest"
	pb "google.golang.org/genproto/googleapis/pubsub/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const maxMessageBytes = 64 << 20 // as the other server of the suite: the limit is for it to check

func recovering(
	ctx context.Context, request interface{}, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (response interface{}, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = status.Errorf(codes.Internal, "panic: %v", problem)
		}
	}()
	return handler(ctx, request)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: pstest HOST:PORT")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	pstest.SetMinAckDeadline(time.Second) // 10 s would make the suite slow
	fake := pstest.NewServer()
	server := grpc.NewServer(
		grpc.UnaryInterceptor(recovering),
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
	)
	pb.RegisterPublisherServer(server, &fake.GServer)
	pb.RegisterSubscriberServer(server, &fake.GServer)
	fmt.Println("listening on", listener.Addr())
	log.Fatal(server.Serve(listener))
}
