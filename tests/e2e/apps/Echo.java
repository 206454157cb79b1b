// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.*;

/** A byte echo on one thread with java.nio: java Echo.java PORT. */
public class Echo {
    static class Connection { ByteBuffer buffer = ByteBuffer.allocateDirect(65536); boolean ended; }

    static void turn(SelectionKey key) throws IOException {
        SocketChannel channel = (SocketChannel) key.channel();
        Connection c = (Connection) key.attachment();
        if (key.isReadable() && channel.read(c.buffer) < 0)
            c.ended = true;
        c.buffer.flip();
        channel.write(c.buffer);
        c.buffer.compact();
        if (c.ended && c.buffer.position() == 0)
            channel.close();
        else
            key.interestOps((c.ended || !c.buffer.hasRemaining() ? 0 : SelectionKey.OP_READ)
                | (c.buffer.position() > 0 ? SelectionKey.OP_WRITE : 0));
    }

    public static void main(String[] args) throws IOException {
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress(Integer.parseInt(args[0])), 500);
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        while (true) {
            selector.select(key -> {
                try {
                    if (!key.isAcceptable()) { turn(key); return; }
                    SocketChannel channel = listener.accept();
                    if (channel == null) return;
                    channel.configureBlocking(false);
                    channel.register(selector, SelectionKey.OP_READ, new Connection());
                } catch (IOException e) {
                    try { key.channel().close(); } catch (IOException ignored) { }
                }
            });
        }
    }
}
